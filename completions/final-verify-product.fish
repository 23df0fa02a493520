complete -c final-verify-product -l image -d 'An image that has pixi and bash; it must be on the engine already' -r
complete -c final-verify-product -l product-dir -d 'The product' -r -f -a "(__fish_complete_directories)"
complete -c final-verify-product -l out-dir -d 'Where the logs go, and what the verification writes below $VERIFY_OUT_DIR' -r -f -a "(__fish_complete_directories)"
complete -c final-verify-product -l project-name -d 'The project\'s folder in the product; needed for a verification' -r
complete -c final-verify-product -l verify-key -d 'Require that the product is signed, and check it with this public key of minisign' -r -F
complete -c final-verify-product -l secrets -d 'Where something that will be copied looks like a secret: say so and go on, refuse to start, or do not look' -r -f -a "warn\t''
deny\t''
off\t''"
complete -c final-verify-product -l allow-secret -d 'Pass over what matches this rsync pattern, a path as in --exclude (repeatable)' -r
complete -c final-verify-product -l sign-key -d 'Sign with this secret key of minisign' -r -F
complete -c final-verify-product -l sign-password-file -d 'Read the key\'s password from the first line of this file [default: ask at the terminal]' -r -F
complete -c final-verify-product -l engine -d 'The engine\'s client: docker, podman or a path [default: $CONTAINER_ENGINE, else docker, else podman]' -r
complete -c final-verify-product -l container-env -d 'Set a variable in the containers, such as CONDA_OVERRIDE_CUDA or a proxy (repeatable)' -r
complete -c final-verify-product -l timeout -d 'End what runs in a container when one phase of it (install, bootstrap, verification), or one errand of the engine, takes longer than this: 90s, 15m or 2h [default: no limit]' -r
complete -c final-verify-product -l container-platform -d 'Have the image for this platform, such as linux/amd64, and refuse another [default: what the engine has or takes]' -r
complete -c final-verify-product -l transfer -d 'How the engine gets at folders of this machine: mounted, or carried there and back as streams for an engine that does not see them (another machine, docker in docker); auto tries' -r -f -a "auto\t'Mount them where the engine sees them, else carry them'
mount\t'Mount them; an engine that does not see them is refused'
copy\t'Carry them there and back as streams, into volumes that are removed'"
complete -c final-verify-product -l verify-task -d 'Run `pixi run TASK` in the project and require exit code 0' -r
complete -c final-verify-product -l verify-environment -d 'Verify in this environment [default: default, or the first that is installed]' -r
complete -c final-verify-product -l expect-output -d 'Require TEXT in what the verification prints (repeatable)' -r
complete -c final-verify-product -l expect-file -d 'Require PATH, below the project or $VERIFY_OUT_DIR, to exist after the verification (repeatable)' -r
complete -c final-verify-product -l in-place -d 'Install into the product itself, which is changed by that, instead of a copy'
complete -c final-verify-product -l attach -d 'Put verification.json, which says what was found, into the product too'
complete -c final-verify-product -l plain-output -d 'Show what runs in the containers with its control characters written out, so that it gives the terminal no orders; logs keep every byte'
complete -c final-verify-product -l verify-run -d 'Run `pixi run CMD ARG…` in the project; the last option: --verify-run -- CMD ARG…'
complete -c final-verify-product -s h -l help -d 'Print help (see more with \'--help\')'
complete -c final-verify-product -s V -l version -d 'Print version'
