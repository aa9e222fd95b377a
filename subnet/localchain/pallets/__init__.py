"""One module per pallet: its rows (storage, calls, events, constants) and the functions behind them."""
