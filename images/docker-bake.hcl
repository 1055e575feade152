# What `docker buildx bake` makes of images/Dockerfile. images/build.py calls it and fills the
# variables in; by hand, from the root of the repository, once images/build.py has made the bases:
#   docker buildx bake --file images/docker-bake.hcl superlink

variable "REGISTRY" { # first part of every name: a local one, or HOST/PROJECT to push there
  default = "flwr-compose"
}
variable "VERSION" {
  default = "0.1.0"
}
variable "BUILD_BASE" { # Python 3.13 with shell, apt and pip
  default = "flwr-compose/base-build:trixie"
}
variable "RUN_BASE" { # Python 3.13 and nothing else
  default = "flwr-compose/base-run:trixie"
}
variable "RUN_PYTHON" { # where RUN_BASE keeps its interpreter
  default = "/usr/bin/python3"
}
variable "WHEELHOUSE" { # what images/wheelhouse.py fetch filled
  default = ".state/images/wheelhouse"
}
variable "DEBS" { # Debian packages of the postgres image
  default = ".state/images/debs/postgres"
}
variable "POSTGRES_PACKAGES" { # local: from DEBS; network: straight from Debian
  default = "local"
}
variable "SOURCE_DATE_EPOCH" { # date of every file and layer
  default = "1767225600"
}
variable "CONTRACT" { # release of the public contract; `flwr --version` says the same
  default = ""
}
variable "REVISION" { # commit; empty keeps the ids of images whose content did not change
  default = ""
}
variable "INPUTS" { # digest of everything an image is made of
  default = ""
}

group "default" {
  targets = ["roles"]
}

target "roles" {
  name       = role
  matrix     = { role = ["superlink", "supernode", "serverapp", "clientapp", "cli", "certs", "postgres", "simulation"] }
  target     = role
  context    = "."
  dockerfile = "images/Dockerfile"
  contexts   = { wheelhouse = WHEELHOUSE, debs = DEBS }
  tags       = ["${REGISTRY}/${role}:${VERSION}"]
  args = {
    BUILD_BASE        = BUILD_BASE
    RUN_BASE          = RUN_BASE
    RUN_PYTHON        = RUN_PYTHON
    POSTGRES_PACKAGES = POSTGRES_PACKAGES
    SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH
    VERSION           = VERSION
    CONTRACT          = CONTRACT
    REVISION          = REVISION
    INPUTS            = INPUTS
  }
}
