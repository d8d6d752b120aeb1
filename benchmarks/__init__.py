"""Speed, beside the peers: `./run_all.sh --bench`. Programs write rows into results/bench/<device>.json; four draw a figure."""
