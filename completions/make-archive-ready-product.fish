complete -c make-archive-ready-product -l workdir -d 'The workdir that create-workdir-from-… made' -r -f -a "(__fish_complete_directories)"
complete -c make-archive-ready-product -l project-name -d 'The project\'s name [default: the only folder below WORKDIR/project]' -r
complete -c make-archive-ready-product -l exclude -d 'Leave out what matches this rsync pattern, besides .git/ .pixi/ .env and caches (repeatable)' -r
complete -c make-archive-ready-product -l output -d 'Where the product goes [default: WORKDIR/product]' -r -f -a "(__fish_complete_directories)"
complete -c make-archive-ready-product -l env -d 'Have the product\'s envs.sh export this, byte for byte (repeatable)' -r
complete -c make-archive-ready-product -l cache -d 'What of the package cache goes into the product: what the environments need, or everything' -r -f -a "needed\t''
full\t''"
complete -c make-archive-ready-product -l link-mode -d 'How the package cache gets into the product. Beware of hardlink: product and workdir then share each file, and pixi shares it further with the environments, so a program that edits a file in an environment edits the cache, unnoticed' -r -f -a "auto\t'clone where the file system can, else copy'
clone\t'share the blocks until one side is changed (copy on write); copy where the file system cannot, and say so'
copy\t'copy the content'
hardlink\t'make both names of one file: what is written into one is in the other; copy where that cannot be, and say so'"
complete -c make-archive-ready-product -l secrets -d 'Where something that will be copied looks like a secret: say so and go on, refuse to start, or do not look' -r -f -a "warn\t''
deny\t''
off\t''"
complete -c make-archive-ready-product -l allow-secret -d 'Pass over what matches this rsync pattern, a path as in --exclude (repeatable)' -r
complete -c make-archive-ready-product -l sign-key -d 'Sign with this secret key of minisign' -r -F
complete -c make-archive-ready-product -l sign-password-file -d 'Read the key\'s password from the first line of this file [default: ask at the terminal]' -r -F
complete -c make-archive-ready-product -l drop-generated -d 'Leave out the files that the build made in the project and that nobody changed since'
complete -c make-archive-ready-product -l deep -d 'Compare every file of every package with the checksums that the packages carry'
complete -c make-archive-ready-product -l bundle-pixi -d 'Put the pixi of the build into the product, so that the target needs only bash and coreutils'
complete -c make-archive-ready-product -l move-cache -d 'Move the package cache into the product, so that the workdir has none any more: no other product can be made of it'
complete -c make-archive-ready-product -l force -d 'Overwrite the folder of --output also when it is no product'
complete -c make-archive-ready-product -s h -l help -d 'Print help (see more with \'--help\')'
complete -c make-archive-ready-product -s V -l version -d 'Print version'
