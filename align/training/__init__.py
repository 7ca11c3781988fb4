"""Training a phase: `trainer.train` carries a `job.TrainingJob` out, by our own step or, in `trl_engine`, by TRL's."""
