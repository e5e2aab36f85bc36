"""Invoices of customers."""
