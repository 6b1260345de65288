"""Log to rows to statistics to figures to report. Reads run folders; never imports the eval."""
