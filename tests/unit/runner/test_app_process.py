from flwr.runner.app_process import app_environment


def test_the_app_inherits_its_environment_but_nothing_of_the_runtime() -> None:
    ours = {
        "PATH": "/bin",
        "FLWR_HOME": "/home",
        "FLWR_LOG_LEVEL": "DEBUG",
        "FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE": "5",
        "FLWR_SERVERAPP_TOKEN": "secret",
        "FLWR_SUPEREXEC_SUPEREXEC_AUTH_SECRET_FILE": "/secret",
    }
    assert set(app_environment(ours)) == {
        "PATH",
        "FLWR_HOME",
        "FLWR_LOG_LEVEL",
        "FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE",
    }
