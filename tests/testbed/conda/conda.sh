export CONDA_EXE='@PLACE@/bin/conda'
export CONDA_PYTHON_EXE='@PLACE@/bin/python'
conda() {
    case "$1" in
        activate)
            export CONDA_PREFIX='@PLACE@' CONDA_DEFAULT_ENV=base CONDA_SHLVL=1
            case ":$PATH:" in *":@PLACE@/bin:"*) ;; *) PATH="@PLACE@/bin:$PATH" ;; esac ;;
        deactivate) unset CONDA_PREFIX CONDA_DEFAULT_ENV ;;
        *) "$CONDA_EXE" "$@" ;;
    esac
}
