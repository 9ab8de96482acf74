"""The pluggable part of an SAE: one short file per gate, pre-activations h to codes z."""
