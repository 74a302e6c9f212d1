"""What the report and the viewer share: colours, controls, and the browser of pairs."""
