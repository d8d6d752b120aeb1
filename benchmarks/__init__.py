"""Speed, beside the peers: `./run_all.sh --bench`. One program per figure, rows in results/bench/<device>.json."""
