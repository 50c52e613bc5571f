# shellcheck shell=bash
# Makes the machine ready: Debian packages, /dev/fuse, a virtual environment.
#
# The scripts source this file and call what they need, in this order:
#
#   setup_system GROUP...   base, samples, peers: install what is missing
#   setup_fuse              the FUSE device
#   setup_python run|dev    .venv with imagefs in it, and with `dev` the tools of the tests and checks
#
# Each may be called again and again; with nothing to do they are silent and take a few milliseconds.

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
venv=$project/.venv

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$@"; exit 1; }

# What a group needs, as `probe=package`: the probe is a command or a file, or empty when it is known to be missing.
# Probing for the thing and not for the package lets a docker or a python from elsewhere do.

needs_base() {
    # pyfuse3 comes as source only, hence the compiler and the headers.
    echo fusermount3=fuse3 /usr/include/fuse3/fuse.h=libfuse3-dev pkg-config=pkg-config
    echo gcc=gcc /usr/include/stdio.h=libc6-dev
    venv_works || needs_python
}

needs_samples() {
    echo apt-get=apt dpkg-deb=dpkg zstd=zstd
}

needs_peers() {
    echo skopeo=skopeo umoci=umoci podman=podman buildah=buildah ctr=containerd dockerd=docker.io
    echo fuse-overlayfs=fuse-overlayfs squashfuse=squashfuse mksquashfs=squashfs-tools
    echo setfattr=attr setcap=libcap2-bin newuidmap=uidmap
    # What reads a mounted tree as its users do.
    echo rsync=rsync bwrap=bubblewrap git=git setpriv=util-linux
}

needs_python() {
    if ! have python3; then
        echo '=python3 =python3-venv =python3-dev'
        return
    fi
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "imagefs needs Python 3.11 or later; $(command -v python3) is $(python3 --version 2>&1)"
    # Debian packages these apart from the interpreter; a python from elsewhere has them.
    python3 -c 'import ensurepip' 2>/dev/null || echo '=python3-venv'
    echo "$(python3 -c 'import sysconfig; print(sysconfig.get_config_var("INCLUDEPY"))')/Python.h=python3-dev"
}

setup_system() {
    local group need needs missing=()
    for group; do
        needs=$("needs_$group") || exit 1
        for need in $needs; do
            have "${need%%=*}" || missing+=("${need#*=}")
        done
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0

    have apt-get || die "this is no Debian; please install what Debian calls ${missing[*]}"
    say "installing ${missing[*]}"
    as_root apt-get -qq update || die "could not update the package lists to install ${missing[*]}"
    # --no-remove: never take away a package of the user's for one of ours.
    quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends --no-remove "${missing[@]}" || die "could not install ${missing[*]}"
}

setup_fuse() {
    if [[ ! -e /dev/fuse ]]; then
        # A container may lack the node although the kernel has the driver. The mode is what udev gives it.
        as_root mknod -m 666 /dev/fuse c 10 229 || die "there is no /dev/fuse, and it could not be made"
    elif [[ ! -r /dev/fuse || ! -w /dev/fuse ]]; then
        # Only where nobody runs udev, or the administrator wants it so: to open a device to everybody for good is
        # not for a script that runs tests. (As root it needs no more: the tests of what an ordinary user can do then
        # have a node of that mode in a mount namespace of their own.)
        die "you may not use /dev/fuse; root allows it, as udev does, with: chmod 666 /dev/fuse"
    fi
}

setup_python() {
    local wanted=$1 packages=(--editable "$project") fingerprint
    fingerprint=$(sha256sum <"$project/pyproject.toml")
    if venv_works && [[ $(cat "$venv/.installed-$wanted" 2>/dev/null) == "$fingerprint" ]]; then
        return
    fi

    say "installing imagefs into ${venv#"$PWD/"}"
    if ! venv_works; then
        quietly python3 -m venv --clear "$venv" || die "could not make the virtual environment"
        echo "$project" >"$venv/.project"
    fi
    # The pip that comes with Debian 12 is older than dependency groups.
    pip_install 'pip>=25.1'
    [[ $wanted != dev ]] || packages+=(--group "$project/pyproject.toml:dev")
    pip_install "${packages[@]}"
    echo "$fingerprint" >"$venv/.installed-$wanted"
    # The environment for development can do all that the other can.
    echo "$fingerprint" >"$venv/.installed-run"
}

# A virtual environment has its own path written all over it, so a moved or copied one does not count.
venv_works() {
    [[ $(cat "$venv/.project" 2>/dev/null) == "$project" ]] && "$venv/bin/python" -c '' 2>/dev/null
}

pip_install() {
    quietly "$venv/bin/python" -m pip install "$@" || die "pip could not install $*"
}

have() {
    # An ordinary user may lack /sbin, where some of the tools are.
    [[ -e $1 ]] || PATH=$PATH:/usr/sbin:/sbin command -v "${1:-/}" >/dev/null
}

as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        say "this needs root, and there is no sudo: $*"
        return 1
    fi
}

# Runs a command whose output is of interest only when it fails.
quietly() {
    local output
    output=$("$@" 2>&1) || { printf '%s\n' "$output" >&2; return 1; }
}
