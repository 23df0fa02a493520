complete -c create-workdir-from-container -l container-id -d 'The running container, by name or id; it has a shell, coreutils and pixi' -r
complete -c create-workdir-from-container -l project-path-in-container -d 'The Pixi project in the container: a folder with pixi.toml, pyproject.toml or mojoproject.toml' -r -f -a "(__fish_complete_directories)"
complete -c create-workdir-from-container -l container-workdir-path -d 'Where the work is done in the container; made anew' -r
complete -c create-workdir-from-container -l resources-path-in-container -d 'A folder of data in the container that travels with the project, copied whole' -r -f -a "(__fish_complete_directories)"
complete -c create-workdir-from-container -l workdir -d 'Where the results go; overwritten when it is a workdir [default: tmp/workdir-SECONDS below the git top level, else below the current folder]' -r -f -a "(__fish_complete_directories)"
complete -c create-workdir-from-container -l project-name -d 'The project\'s name in WORKDIR and product [default: last component of its path]' -r
complete -c create-workdir-from-container -l exclude -d 'Leave out what matches this rsync pattern, besides .git/ .pixi/ .env and caches (repeatable)' -r
complete -c create-workdir-from-container -l secrets -d 'Where something that will be copied looks like a secret: say so and go on, refuse to start, or do not look' -r -f -a "warn\t''
deny\t''
off\t''"
complete -c create-workdir-from-container -l allow-secret -d 'Pass over what matches this rsync pattern, a path as in --exclude (repeatable)' -r
complete -c create-workdir-from-container -s e -l environment -d 'Install this environment, and later have the product install it (repeatable) [default: default]' -r
complete -c create-workdir-from-container -l engine -d 'The engine\'s client: docker, podman or a path [default: $CONTAINER_ENGINE, else docker, else podman]' -r
complete -c create-workdir-from-container -l container-env -d 'Set a variable in the containers, such as CONDA_OVERRIDE_CUDA or a proxy (repeatable)' -r
complete -c create-workdir-from-container -l timeout -d 'End what runs in a container when one phase of it (install, bootstrap, verification), or one errand of the engine, takes longer than this: 90s, 15m or 2h [default: no limit]' -r
complete -c create-workdir-from-container -l verify-task -d 'Run `pixi run TASK` in the project and require exit code 0' -r
complete -c create-workdir-from-container -l verify-environment -d 'Verify in this environment [default: default, or the first that is installed]' -r
complete -c create-workdir-from-container -l expect-output -d 'Require TEXT in what the verification prints (repeatable)' -r
complete -c create-workdir-from-container -l expect-file -d 'Require PATH, below the project or $VERIFY_OUT_DIR, to exist after the verification (repeatable)' -r
complete -c create-workdir-from-container -l force -d 'Overwrite WORKDIR also when it was not made by these commands'
complete -c create-workdir-from-container -l update-lock -d 'Let pixi bring a stale pixi.lock up to date instead of refusing it'
complete -c create-workdir-from-container -l frozen -d 'Install pixi.lock as it is, byte for byte, also when pixi calls it stale'
complete -c create-workdir-from-container -l reuse-cache -d 'Begin with the package cache of the WORKDIR that is overwritten, so that less is fetched'
complete -c create-workdir-from-container -l clean -d 'Remove the container path in the end'
complete -c create-workdir-from-container -l all-environments -d 'Install every environment that pixi.lock has'
complete -c create-workdir-from-container -l plain-output -d 'Show what runs in the containers with its control characters written out, so that it gives the terminal no orders; logs keep every byte'
complete -c create-workdir-from-container -l verify-run -d 'Run `pixi run CMD ARG…` in the project; the last option: --verify-run -- CMD ARG…'
complete -c create-workdir-from-container -s h -l help -d 'Print help (see more with \'--help\')'
complete -c create-workdir-from-container -s V -l version -d 'Print version'
