#!/bin/sh
# What both images hold, on top of a base with Python 3.11 and its headers: the pinned dependencies, a C++ compiler for
# torch.compile and Triton, git, for the run card's commit, and rsync, for a pod's copies (docs/cluster.md).
#     install.sh REQUIREMENTS [INDEX]      INDEX: one more index of packages, such as PyTorch's of CPU wheels
set -eu

python3 -c 'import os, sys, sysconfig; h = sysconfig.get_path("include") + "/Python.h"
sys.exit(None if sys.version_info[:2] == (3, 11) and os.path.isfile(h) else
         f"install.sh: the base has Python {sys.version.split()[0]}, {h}; it needs Python 3.11 with its headers")'

apt-get update
apt-get install --yes --no-install-recommends g++ git rsync
rm -rf /var/lib/apt/lists/*

python3 -m venv /opt/rsae
/opt/rsae/bin/python -m pip install --no-cache-dir ${2:+--extra-index-url "$2"} --requirement "$1"
