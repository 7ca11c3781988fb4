"""From raw text to a dataset folder: the `recipe`, the `build` that carries it out, its `work` folder; and `forget`."""
