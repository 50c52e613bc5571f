"""The command line: click and rich live here, and exit statuses are chosen here."""
