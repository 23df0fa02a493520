complete -c make-production-image -l product-dir -d 'The product' -r -f -a "(__fish_complete_directories)"
complete -c make-production-image -l build-image -d 'An image that has pixi, runs as root, and is on the engine: the environment is installed in it' -r
complete -c make-production-image -l base-image -d 'An image that has a shell and is on the engine: the new one is made from it' -r
complete -c make-production-image -l tag -d 'The name of the new image' -r
complete -c make-production-image -l emit-dockerfile -d 'Build nothing: write Dockerfile, build.sh, entrypoint.sh and .dockerignore into this folder' -r -f -a "(__fish_complete_directories)"
complete -c make-production-image -s e -l environment -d 'The environment of the product that goes into the image [default: default, or the only one]' -r
complete -c make-production-image -l app-dir -d 'Where the project is in the image' -r
complete -c make-production-image -l copy -d 'Take this of the project, a path in it, and nothing else that is not named (repeatable) [default: everything]' -r
complete -c make-production-image -l resources-dir -d 'Take the product\'s resources along, to this path; $PRODUCT_RES_DIR names it in the image' -r
complete -c make-production-image -l expose -d 'Say that the image listens on this port: 8000, 8000-8010, 53/udp (repeatable)' -r
complete -c make-production-image -l env -d 'Set a variable in the image (repeatable)' -r
complete -c make-production-image -l label -d 'Set a label, beside or instead of the usual ones (repeatable)' -r
complete -c make-production-image -l user -d 'Run as this user: UID, UID:GID or a name of the base image [default: that of the base image]' -r
complete -c make-production-image -l healthcheck -d 'Have the engine run this shell command in the activated environment to see whether all is well' -r
complete -c make-production-image -l cmd -d 'A word of the image\'s command, as in `-- CMD ARG…`; for use with --verify-run (repeatable)' -r
complete -c make-production-image -l save -d 'Also write the image as an archive for `docker load`, and its digest to FILE.sha256' -r -F
complete -c make-production-image -l verify-key -d 'Require that SHA256SUMS and verification.json in the product are signed with this public key of minisign' -r -F
complete -c make-production-image -l secrets -d 'Where something that will be copied looks like a secret: say so and go on, refuse to start, or do not look' -r -f -a "warn\t''
deny\t''
off\t''"
complete -c make-production-image -l allow-secret -d 'Pass over what matches this rsync pattern, a path as in --exclude (repeatable)' -r
complete -c make-production-image -l engine -d 'The engine\'s client: docker, podman or a path [default: $CONTAINER_ENGINE, else docker, else podman]' -r
complete -c make-production-image -l unverified -d 'Take a product also when no final verification of it is attached'
complete -c make-production-image -l force -d 'Replace an image of this name, or files that are to be written'
complete -c make-production-image -l plain-output -d 'Show what runs in the containers with its control characters written out, so that it gives the terminal no orders'
complete -c make-production-image -l verify-run -d 'Run CMD in the finished image, without a network and with a read-only root file system, before it gets its name, and end with its exit code; the last option: --verify-run -- CMD ARG…'
complete -c make-production-image -s h -l help -d 'Print help'
complete -c make-production-image -s V -l version -d 'Print version'
