#!/usr/bin/env bash
# Set-up, then the notebooks and the report (or the tests). Here only what must be known before there is an environment;
# everything else, values of options included, is checked by `python -m dipddpm_utils notebooks`.
set -euo pipefail
here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")  # it may be called by a link from elsewhere

usage() {
  cat <<'END'
Usage: ./run_all.sh [OPTIONS]        run the notebooks and build results/<profile>/report.html
       ./run_all.sh --test [...]     set-up, then the test suite (further words go to pytest)
       ./run_all.sh --bench [...]    set-up, then the benchmarks

  --profile NAME      smoke, quick, standard or full (default: full with a CUDA GPU, else quick);
                      NAME:FOLDER uses your own images in FOLDER (not full)
  --only 03,05        only these notebooks
  --fresh             compute everything anew; an old record stays until its new one is complete
  --max-minutes M     stop cleanly after M minutes; the same command goes on
  --results DIR       where results are kept (default: results/ of this checkout)
  --device NAME       auto, cpu, cuda, cuda:N (its number) or mps (default: auto)
  -p NAME VALUE       a notebook parameter; may be given several times
  --list              list the notebooks and their parameters
  -h, --help          this text

Uses the active environment (venv, conda other than base, Colab), installing only what is missing; else makes .venv here.
Ends with 0: all good; 1: a notebook failed; 2: bad usage; 75: the time ran out, the same command goes on; 130: Ctrl-C; 143: SIGTERM.
END
}

die() { printf 'run_all.sh: %s\n' "$2" >&2; exit "$1"; }

mode=notebooks
args=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --test | --bench)
      [ ${#args[@]} -eq 0 ] || die 2 "${args[0]} stands before $1, which would not use it: leave it out, or give it after $1"
      mode=${1#--}; shift; args=(${1+"$@"}); break ;;
    --fresh | --list | --profile=* | --only=* | --max-minutes=* | --results=* | --device=*) args+=("$1"); shift ;;
    --profile | --only | --max-minutes | --results | --device)
      [ $# -ge 2 ] || die 2 "$1 needs a value (./run_all.sh --help)"
      args+=("$1" "$2"); shift 2 ;;
    -p)
      [ $# -ge 3 ] || die 2 "-p needs a name and a value (./run_all.sh --help)"
      args+=("$1" "$2" "$3"); shift 3 ;;
    *) die 2 "unknown option '$1' (./run_all.sh --help lists them)" ;;
  esac
done

# A user's types.py or random.py here or in the checkout is not Python's: Python looks neither in the folder it is called
# from (which this says, also to pip), nor in the checkout before its own library (see `start`).
export PYTHONSAFEPATH=1
fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; }

own=  # set when the environment is the project's own .venv, which is kept exactly as locked
if [ -n "${COLAB_RELEASE_TAG:-}${COLAB_GPU:-}" ]; then
  py=$(command -v python3)
elif [ -n "${VIRTUAL_ENV:-}" ]; then
  py=$VIRTUAL_ENV/bin/python
elif [ -n "${CONDA_PREFIX:-}" ] && [ "${CONDA_DEFAULT_ENV:-}" != base ]; then
  py=$CONDA_PREFIX/bin/python
else
  own=--exact
  py=$here/.venv/bin/python
  if command -v flock >/dev/null 2>&1; then  # of two first starts at once, one waits until the other has set up .venv
    exec 9<"$here/run_all.sh"
    flock -n 9 || { echo "run_all.sh: waiting for another one, which is setting up $here/.venv" >&2; flock 9 || true; }
  fi
  if ! fits "$py"; then
    found=
    for candidate in python3 python3.13 python3.12 python3.11 python; do
      if fits "$candidate"; then found=$candidate; break; fi
    done
    if command -v uv >/dev/null 2>&1; then
      uv venv --quiet --clear --python "${found:-3.12}" "$here/.venv" || die 1 "uv could not make $here/.venv (see above)"
    elif [ -n "$found" ]; then
      "$found" -m venv --clear "$here/.venv" ||
        die 1 "$found could not make $here/.venv: install its venv package (Debian, Ubuntu: python3-venv) or uv"
    else
      die 1 "needs Python 3.11, 3.12 or 3.13 (none found on PATH): install one of them, or uv, and run this again"
    fi
  fi
fi
fits "$py" || die 1 "needs Python 3.11, 3.12 or 3.13, but the active environment has none of them ($py): deactivate it or make another"

start='import runpy, sys
sys.path.append(sys.argv[1])
module = sys.argv[2]
del sys.argv[1:3]
runpy.run_module(module, run_name="__main__", alter_sys=True)'
"$py" "$here/dipddpm_utils/driver/install.py" $own
exec 9<&-  # set up: the next one may go on
case $mode in
  notebooks) exec "$py" -c "$start" "$here" dipddpm_utils notebooks ${args[@]+"${args[@]}"} ;;
  test) cd -- "$here" && exec "$py" -c "$start" "$here" pytest -q \
    -n 2 --dist loadfile --no-loadscope-reorder ${args[@]+"${args[@]}"} ;;
  bench) exec "$py" -c "$start" "$here" benchmarks ${args[@]+"${args[@]}"} ;;
esac
