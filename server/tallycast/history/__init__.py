"""How counts moved: rolled up from the journal of changes, and asked for. docs/history.md says what is kept."""
