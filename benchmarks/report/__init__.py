"""The table and the chart: drawn from the JSON record alone, the same record giving the same text."""
