"""One importer per architecture; `rtl_gen.checkpoint.registry` finds them by their presence."""
