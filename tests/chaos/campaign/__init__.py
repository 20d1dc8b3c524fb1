"""The full chaos campaign: `make chaos`. Hundreds of faults under many jobs at once, every record and call counted."""
