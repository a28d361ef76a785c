#!/bin/sh
#
# NAME:  @NAME@
# VER:   @VERSION@
# PLAT:  linux-64
# LINES: @LINES@
# MD5:   @MD5@

export OLD_LD_LIBRARY_PATH=$LD_LIBRARY_PATH
unset LD_LIBRARY_PATH CONDARC

if ! echo "$0" | grep '\.sh$' > /dev/null; then
    printf 'Please run using "bash" or "sh", but not "." or "source"\n' >&2
    exit 1
fi

THIS_DIR=$(DIRNAME=$(dirname "$0"); cd "$DIRNAME"; pwd)
THIS_PATH="$THIS_DIR/$(basename "$0")"
PREFIX=$HOME/@DEFAULT@
BATCH=0
FORCE=0
SKIP_SCRIPTS=0
KEEP_PKGS=0
TEST=0
USAGE="
usage: $0 [options]

Installs @NAME@ @VERSION@

-b           run install in batch mode (without manual intervention),
             it is expected the license terms are agreed upon
-f           no error if install prefix already exists
-h           print this help message and exit
-k           do not clear the package cache after installation
-m           disable the creation of menu items / shortcuts
-p PREFIX    install prefix, defaults to $PREFIX, must not contain spaces.
-s           skip running pre/post-link/install scripts
-u           update an existing installation
-t           run package tests after installation (may install conda-build)
"
while getopts "bfhkmp:sut" x; do
    case "$x" in
        h) printf "%s\n" "$USAGE"; exit 2 ;;
        b) BATCH=1 ;;
        f) FORCE=1 ;;
        k) KEEP_PKGS=1 ;;
        m) ;;
        p) PREFIX="$OPTARG" ;;
        s) SKIP_SCRIPTS=1 ;;
        u) FORCE=1 ;;
        t) TEST=1 ;;
        ?) printf "ERROR: did not recognize option '%s', please try -h\n" "$x"; exit 1 ;;
    esac
done

if [ "$BATCH" = "0" ]; then
    printf "\nWelcome to @NAME@ @VERSION@\n\nDo you accept the license terms? [yes|no]\n[no] >>> "
    read -r ans
    if [ "$ans" != "yes" ]; then
        printf "The license agreement wasn't approved, aborting installation.\n"
        exit 2
    fi
fi

case "$PREFIX" in
    *\ * ) printf "ERROR: Cannot install into directories with spaces\n" >&2; exit 1 ;;
esac

if [ "$FORCE" = "0" ] && [ -e "$PREFIX" ]; then
    printf "ERROR: File or directory already exists: '%s'\n" "$PREFIX" >&2
    printf "If you want to update an existing installation, use the -u option.\n" >&2
    exit 1
fi

total_installation_size_kb="@SIZE_KB@"
if ! mkdir -p "$PREFIX"; then
    printf "ERROR: Could not create directory: '%s'\n" "$PREFIX" >&2
    exit 1
fi
free_kb="$(df -Pk "$PREFIX" | tail -n 1 | awk '{print $4}')"
free_with_buffer="$((free_kb - 50 * 1024))"
if [ "$free_with_buffer" -lt "$total_installation_size_kb" ]; then
    printf "ERROR: Not enough free disk space. Only %s MB are available, but %s MB are required (leaving a 50 MB buffer).\n" \
        "$((free_with_buffer / 1024))" "$((total_installation_size_kb / 1024))" >&2
    exit 1
fi

PREFIX=$(cd "$PREFIX"; pwd)
export PREFIX
printf "PREFIX=%s\n" "$PREFIX"

MD5=$(tail -n +@LINES@ "$THIS_PATH" | md5sum -)
if ! echo "$MD5" | grep @MD5@ > /dev/null; then
    printf "WARNING: md5sum mismatch of tar archive\n" >&2
    printf "expected: @MD5@\n" >&2
    printf "     got: %s\n" "$MD5" >&2
fi

cd "$PREFIX" || exit 1
unset PYTHON_SYSCONFIGDATA_NAME _CONDA_PYTHON_SYSCONFIGDATA_NAME
printf "Unpacking payload ...\n"
tail -n +@LINES@ "$THIS_PATH" | tar -xzf - || exit 1

# What was made for a placeholder is made for this prefix, as conda does when it links.
while read -r file; do
    printf "installing: %s\n" "$file"
    sed -i "s|@PLACE@|$PREFIX|g" "$PREFIX/$file" || exit 1
done < "$PREFIX/conda-meta/placeholders"
rm -f "$PREFIX/conda-meta/placeholders"
mkdir -p "$PREFIX/envs" "$PREFIX/pkgs"
touch "$PREFIX/conda-meta/history"
mkdir -p "$HOME/.conda" && echo "$PREFIX" >> "$HOME/.conda/environments.txt"
[ "$KEEP_PKGS" = "1" ] || rm -rf "$PREFIX"/pkgs/*.tar.bz2 "$PREFIX"/pkgs/*.conda

printf "installation finished.\n"
if [ "$PYTHONPATH" != "" ]; then
    printf "WARNING:\n    You currently have a PYTHONPATH environment variable set.\n"
fi
if [ "$TEST" = "1" ]; then
    "$PREFIX/bin/python" -c "import ssl, zlib, sqlite3" || exit 1
fi
exit 0
@@END_HEADER@@
