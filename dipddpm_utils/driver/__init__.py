"""Running the whole: notebooks by papermill, jobs on a cluster, set-up, and what this machine has."""
