"""The use: a config becomes a plan of runs, the runs a folder of predictions, the folder a table."""
