"""From a run's folder to tables of events and task records."""
