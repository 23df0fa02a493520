complete -c create-workdir-from-host -l image -d 'An image that has pixi' -r
complete -c create-workdir-from-host -l project-dir -d 'The Pixi project: a folder with pixi.toml, pyproject.toml or mojoproject.toml' -r -f -a "(__fish_complete_directories)"
complete -c create-workdir-from-host -l container-workdir-path -d 'Where the workdir is mounted in the container' -r
complete -c create-workdir-from-host -l resources-dir -d 'A folder of data that travels with the project, copied whole' -r -f -a "(__fish_complete_directories)"
complete -c create-workdir-from-host -l workdir -d 'Where the results go; overwritten when it is a workdir [default: tmp/workdir-SECONDS below the git top level, else below the current folder]' -r -f -a "(__fish_complete_directories)"
complete -c create-workdir-from-host -l project-name -d 'The project\'s name in WORKDIR and product [default: last component of its path]' -r
complete -c create-workdir-from-host -l exclude -d 'Leave out what matches this rsync pattern, besides .git/ .pixi/ .env and caches (repeatable)' -r
complete -c create-workdir-from-host -l secrets -d 'Where something that will be copied looks like a secret: say so and go on, refuse to start, or do not look' -r -f -a "warn\t''
deny\t''
off\t''"
complete -c create-workdir-from-host -l allow-secret -d 'Pass over what matches this rsync pattern, a path as in --exclude (repeatable)' -r
complete -c create-workdir-from-host -s e -l environment -d 'Install this environment, and later have the product install it (repeatable) [default: default]' -r
complete -c create-workdir-from-host -l engine -d 'The engine\'s client: docker, podman or a path [default: $CONTAINER_ENGINE, else docker, else podman]' -r
complete -c create-workdir-from-host -l container-env -d 'Set a variable in the containers, such as CONDA_OVERRIDE_CUDA or a proxy (repeatable)' -r
complete -c create-workdir-from-host -l timeout -d 'End what runs in a container when one phase of it (install, bootstrap, verification), or one errand of the engine, takes longer than this: 90s, 15m or 2h [default: no limit]' -r
complete -c create-workdir-from-host -l container-platform -d 'Have the image for this platform, such as linux/amd64, and refuse another [default: what the engine has or takes]' -r
complete -c create-workdir-from-host -l transfer -d 'How the engine gets at folders of this machine: mounted, or carried there and back as streams for an engine that does not see them (another machine, docker in docker); auto tries' -r -f -a "auto\t'Mount them where the engine sees them, else carry them'
mount\t'Mount them; an engine that does not see them is refused'
copy\t'Carry them there and back as streams, into volumes that are removed'"
complete -c create-workdir-from-host -l engine-arg -d 'Hand ARG to the engine\'s `run` for the build container (repeatable)' -r
complete -c create-workdir-from-host -l verify-task -d 'Run `pixi run TASK` in the project and require exit code 0' -r
complete -c create-workdir-from-host -l verify-environment -d 'Verify in this environment [default: default, or the first that is installed]' -r
complete -c create-workdir-from-host -l expect-output -d 'Require TEXT in what the verification prints (repeatable)' -r
complete -c create-workdir-from-host -l expect-file -d 'Require PATH, below the project or $VERIFY_OUT_DIR, to exist after the verification (repeatable)' -r
complete -c create-workdir-from-host -l force -d 'Overwrite WORKDIR also when it was not made by these commands'
complete -c create-workdir-from-host -l update-lock -d 'Let pixi bring a stale pixi.lock up to date instead of refusing it'
complete -c create-workdir-from-host -l frozen -d 'Install pixi.lock as it is, byte for byte, also when pixi calls it stale'
complete -c create-workdir-from-host -l reuse-cache -d 'Begin with the package cache of the WORKDIR that is overwritten, so that less is fetched'
complete -c create-workdir-from-host -l all-environments -d 'Install every environment that pixi.lock has'
complete -c create-workdir-from-host -l plain-output -d 'Show what runs in the containers with its control characters written out, so that it gives the terminal no orders; logs keep every byte'
complete -c create-workdir-from-host -l verify-run -d 'Run `pixi run CMD ARG…` in the project; the last option: --verify-run -- CMD ARG…'
complete -c create-workdir-from-host -s h -l help -d 'Print help (see more with \'--help\')'
complete -c create-workdir-from-host -s V -l version -d 'Print version'
