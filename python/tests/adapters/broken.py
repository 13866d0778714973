"""An adapter that cannot be imported."""

raise RuntimeError("no model file")
