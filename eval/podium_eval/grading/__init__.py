"""Grades answers by HLE's or ToolOrchestra's protocol."""
