"""Expiry: points past their day are booked, holds and locks past their life are given back."""
