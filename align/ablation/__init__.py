"""The sample-efficiency ablation: data size x objective x with and without SFT x seed, one ledger, one report."""
