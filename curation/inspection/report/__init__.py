"""report.html: what a person looks at first."""
