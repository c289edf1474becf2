"""The demonstration of what whoever runs a mesh sees: dashboards, alerts, a trace."""
