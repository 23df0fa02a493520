complete -c build-offline-product -l project-dir -d 'The Pixi project: a folder with pixi.toml, pyproject.toml or mojoproject.toml' -r -f -a "(__fish_complete_directories)"
complete -c build-offline-product -l container-id -d 'The running container that the project is in, by name or id' -r
complete -c build-offline-product -l project-path-in-container -d 'The Pixi project in the container' -r -f -a "(__fish_complete_directories)"
complete -c build-offline-product -l resources-dir -d 'A folder of data that travels with the project, copied whole' -r -f -a "(__fish_complete_directories)"
complete -c build-offline-product -l resources-path-in-container -d 'A folder of data in the container that travels with the project' -r -f -a "(__fish_complete_directories)"
complete -c build-offline-product -l image -d 'An image that has pixi and bash [default: $PIXI_IMAGE, else ghcr.io/prefix-dev/pixi:0.77.0; with --container-id its own]' -r
complete -c build-offline-product -l container-workdir-path -d 'Where the workdir is in the container [default: /workdir, with --container-id /tmp/pixi-offline-workdir]' -r
complete -c build-offline-product -l workdir -d 'Where the results go; overwritten when it is a workdir [default: tmp/workdir-SECONDS below the git top level, else below the current folder]' -r -f -a "(__fish_complete_directories)"
complete -c build-offline-product -l project-name -d 'The project\'s name in WORKDIR and product [default: last component of its path]' -r
complete -c build-offline-product -l exclude -d 'Leave out what matches this rsync pattern, besides .git/ .pixi/ .env and caches (repeatable)' -r
complete -c build-offline-product -l out-dir -d 'Where the logs of the final verification go [default: WORKDIR/proof]' -r -f -a "(__fish_complete_directories)"
complete -c build-offline-product -s e -l environment -d 'Install this environment, and later have the product install it (repeatable) [default: default]' -r
complete -c build-offline-product -l output -d 'Where the product goes [default: WORKDIR/product]' -r -f -a "(__fish_complete_directories)"
complete -c build-offline-product -l env -d 'Have the product\'s envs.sh export this, byte for byte (repeatable)' -r
complete -c build-offline-product -l cache -d 'What of the package cache goes into the product: what the environments need, or everything' -r -f -a "needed\t''
full\t''"
complete -c build-offline-product -l link-mode -d 'How the package cache gets into the product. Beware of hardlink: product and workdir then share each file, and pixi shares it further with the environments, so a program that edits a file in an environment edits the cache, unnoticed' -r -f -a "auto\t'clone where the file system can, else copy'
clone\t'share the blocks until one side is changed (copy on write); copy where the file system cannot, and say so'
copy\t'copy the content'
hardlink\t'make both names of one file: what is written into one is in the other; copy where that cannot be, and say so'"
complete -c build-offline-product -l secrets -d 'Where something that will be copied looks like a secret: say so and go on, refuse to start, or do not look' -r -f -a "warn\t''
deny\t''
off\t''"
complete -c build-offline-product -l allow-secret -d 'Pass over what matches this rsync pattern, a path as in --exclude (repeatable)' -r
complete -c build-offline-product -l sign-key -d 'Sign with this secret key of minisign' -r -F
complete -c build-offline-product -l sign-password-file -d 'Read the key\'s password from the first line of this file [default: ask at the terminal]' -r -F
complete -c build-offline-product -l engine -d 'The engine\'s client: docker, podman or a path [default: $CONTAINER_ENGINE, else docker, else podman]' -r
complete -c build-offline-product -l container-env -d 'Set a variable in the containers, such as CONDA_OVERRIDE_CUDA or a proxy (repeatable)' -r
complete -c build-offline-product -l timeout -d 'End what runs in a container when one phase of it (install, bootstrap, verification), or one errand of the engine, takes longer than this: 90s, 15m or 2h [default: no limit]' -r
complete -c build-offline-product -l container-platform -d 'Have the image for this platform, such as linux/amd64, and refuse another [default: what the engine has or takes]' -r
complete -c build-offline-product -l transfer -d 'How the engine gets at folders of this machine: mounted, or carried there and back as streams for an engine that does not see them (another machine, docker in docker); auto tries' -r -f -a "auto\t'Mount them where the engine sees them, else carry them'
mount\t'Mount them; an engine that does not see them is refused'
copy\t'Carry them there and back as streams, into volumes that are removed'"
complete -c build-offline-product -l engine-arg -d 'Hand ARG to the engine\'s `run` for the build container (repeatable)' -r
complete -c build-offline-product -l explain -d 'Say which pattern keeps or drops PATH of the project, and do nothing else' -r -F
complete -c build-offline-product -l format -d 'What goes to stdout: lines for people, or one JSON object for each phase' -r -f -a "text\t''
json\t''"
complete -c build-offline-product -l verify-task -d 'Run `pixi run TASK` in the project and require exit code 0' -r
complete -c build-offline-product -l verify-environment -d 'Verify in this environment [default: default, or the first that is installed]' -r
complete -c build-offline-product -l expect-output -d 'Require TEXT in what the verification prints (repeatable)' -r
complete -c build-offline-product -l expect-file -d 'Require PATH, below the project or $VERIFY_OUT_DIR, to exist after the verification (repeatable)' -r
complete -c build-offline-product -l clean -d 'Remove the container path in the end'
complete -c build-offline-product -l force -d 'Overwrite WORKDIR also when it was not made by these commands'
complete -c build-offline-product -l update-lock -d 'Let pixi bring a stale pixi.lock up to date instead of refusing it'
complete -c build-offline-product -l frozen -d 'Install pixi.lock as it is, byte for byte, also when pixi calls it stale'
complete -c build-offline-product -l reuse-cache -d 'Begin with the package cache of the WORKDIR that is overwritten, so that less is fetched'
complete -c build-offline-product -l fresh -d 'Start with an empty package cache, also where WORKDIR has one'
complete -c build-offline-product -l all-environments -d 'Install every environment that pixi.lock has'
complete -c build-offline-product -l keep-generated -d 'Pack the files too that the install or the verification made in the project'
complete -c build-offline-product -l deep -d 'Compare every file of every package with the checksums that the packages carry'
complete -c build-offline-product -l bundle-pixi -d 'Put the pixi of the build into the product, so that the target needs only bash and coreutils'
complete -c build-offline-product -l move-cache -d 'Move the package cache into the product, so that the workdir has none any more: no other product can be made of it'
complete -c build-offline-product -l plain-output -d 'Show what runs in the containers with its control characters written out, so that it gives the terminal no orders; logs keep every byte'
complete -c build-offline-product -l dry-run -d 'Show the plan, touch nothing, start nothing'
complete -c build-offline-product -l quiet -d 'Show warnings and errors only'
complete -c build-offline-product -l verbose -d 'Show what runs in the containers too'
complete -c build-offline-product -l verify-run -d 'Run `pixi run CMD ARG…` in the project; the last option: --verify-run -- CMD ARG…'
complete -c build-offline-product -s h -l help -d 'Print help (see more with \'--help\')'
complete -c build-offline-product -s V -l version -d 'Print version'
