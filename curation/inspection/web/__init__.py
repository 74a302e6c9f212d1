"""Code shared by the report and the viewer: style sheet, filters, sample browser, number formats."""
