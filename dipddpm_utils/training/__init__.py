"""One loop that trains every network, resumable to the same bits."""
