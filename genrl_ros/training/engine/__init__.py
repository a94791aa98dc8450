"""The one resumable loop over updates."""
