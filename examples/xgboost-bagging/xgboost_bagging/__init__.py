"""xgboost-bagging: a federated app."""
