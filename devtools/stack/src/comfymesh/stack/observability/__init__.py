"""Dashboards and rules as data, what is made of them for Grafana and Prometheus, and a Prometheus to try them with."""
