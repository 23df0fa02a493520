//! One product for several users who may only read it: `bootstrap-project.sh --into`.

use std::path::Path;
use std::process::Command;

use testbed::project::Manifest;
use testbed::sandbox::Run;

use crate::real::{Real, images};

/// A product of the usual project, with resources.
fn product(image: &str) -> Real {
    let real = Real::with_project(image, &Manifest::usual("demo"));
    real.sandbox.write("data/model", "weights");
    real.build(&["--resources-dir", "data", "--verify-task", "where"])
        .success();
    real
}

/// What the scripts here begin with: users, each with a home, and what each does alone.
const USERS: &str = "
as() { setpriv --reuid $1 --regid $1 --clear-groups env HOME=/work/$1 bash -ec \"$2\"; }
for user in 4001 4002; do mkdir -m 700 /work/$user; chown $user:$user /work/$user; done
# `pixi run` of 0.15 changes the words of a command; the program is the same.
tool=.pixi/envs/default/bin/prefix-tool
";

/// Runs a script where the product is mounted at `/shared/product`, and cannot be written.
fn where_it_is_read_only(image: &str, product: &Path, script: &str) -> Run {
    let source = product.display().to_string().replace('"', "\"\"");
    let mount = format!("type=bind,\"source={source}\",target=/shared/product,readonly");
    let mut docker = Command::new("docker");
    docker.args(["run", "--rm", "--network", "none", "--mount", &mount]);
    docker.args(["--tmpfs", "/work:exec,mode=1777"]);
    docker.args(["--tmpfs", "/small:exec,mode=1777,size=512k"]);
    docker.args(["--entrypoint", "bash", image, "-ec"]);
    Run::of(docker.arg(format!("{USERS}{script}")))
}

#[test]
fn two_users_install_at_once_from_a_product_that_cannot_be_written() {
    let script = "
for user in 4001 4002; do
  as $user '/shared/product/bootstrap-project.sh --into ~/it' >/work/$user.log 2>&1 || echo failed >>/work/$user.log &
done
wait
cat /work/400?.log
for user in 4001 4002; do
  as $user '. ~/it/envs.sh; cd ~/it/demo; cat $PRODUCT_RES_DIR/model; pixi run where'
  # What another user may not even see.
  as $((8003 - user)) \"! ls /work/$user/it 2>/dev/null\"
done
inside=/work/4001/it/demo/.pixi/envs
echo shared: $(find $inside -type f -links +1 | head -3)
echo leads out: $(find $inside -type l -exec readlink -f {} + | grep -v ^$inside/ | head -3)
echo large files in the cache: $(find /work/4001/it/pkg-cache -type f -size +99k | wc -l)
# A person's change stays, and what is broken is put right by the same line.
as 4001 'echo \"# mine\" >>~/it/demo/pixi.toml; rm -r ~/it/demo/.pixi/envs
  /shared/product/bootstrap-project.sh --into ~/it >&2; tail -n 1 ~/it/demo/pixi.toml; cd ~/it/demo; '$tool
# Without room nothing is left.
as 4001 '/shared/product/bootstrap-project.sh --into /small/it' || echo code: $?
ls -A /small
as 4002 '/shared/product/bootstrap-project.sh' || echo code: $?
as 4002 '/shared/product/bootstrap-project.sh --check' | grep 'may read\\|--into'
";
    for image in images() {
        eprintln!("pixi {}", image.version);
        let real = product(&image.reference);
        let run = where_it_is_read_only(&image.reference, &real.path("W/product"), script);
        eprintln!("{}", run.stdout);
        run.success()
            .prints("OK: installed demo (default)\nNext: PRODUCT_ROOT=/work/4001/it; . ")
            .prints("OK: installed demo (default)\nNext: PRODUCT_ROOT=/work/4002/it; . ")
            .prints("weightsscript: /work/4001/it/demo/.pixi/envs/default\n")
            .prints("weightsscript: /work/4002/it/demo/.pixi/envs/default\n")
            .prints("shared:\n")
            .prints("leads out:\n")
            .prints("large files in the cache: 0\n")
            .prints("# mine\nscript: /work/4001/it/demo/.pixi/envs/default\n")
            .prints("install elsewhere: ./bootstrap-project.sh --into DIR")
            .says("installing takes ")
            .says("install where this user may write: ./bootstrap-project.sh --into DIR");
        assert_eq!(run.stdout.matches("code: 2\n").count(), 2, "{run}");
        assert!(!run.stdout.contains("failed"), "{run}");
    }
}

#[test]
fn two_users_run_at_once_what_a_third_installed_in_the_product() {
    // `pixi run` of 0.15 writes into the environment; its programs run.
    let script = "
cp -a /shared/product /work/product; chmod -R go-w /work/product
/work/product/bootstrap-project.sh >&2
for user in 4001 4002; do
  as $user '. /work/product/envs.sh; cd /work/product/demo; cat $PRODUCT_RES_DIR/model
    case $(pixi --version) in *\" 0.15.\"*) '$tool' ;; *) pixi run where ;; esac' >/work/$user.out &
done
wait
cat /work/400?.out
";
    for image in images() {
        eprintln!("pixi {}", image.version);
        let real = product(&image.reference);
        let run = where_it_is_read_only(&image.reference, &real.path("W/product"), script);
        run.success();
        let ran = "weightsscript: /work/product/demo/.pixi/envs/default\n";
        assert_eq!(run.stdout.matches(ran).count(), 2, "{run}");
    }
}

#[test]
fn who_installed_goes_on_while_the_product_is_replaced_and_when_it_is_gone() {
    let script = "
cp -a /shared/product /work/product; chmod -R go-w /work/product
as 4001 '/work/product/bootstrap-project.sh --into ~/it >&2'
# A program that has begun, and looks for its library after the product was replaced.
mkfifo -m 666 /work/go
as 4001 'cd ~/it/demo; read -r line </work/go; .pixi/envs/default/bin/python -c \"import colorsys; print(colorsys.__file__)\"' &
other=$!
digest=$(sha256sum </work/product/SHA256SUMS)
cp -a /work/product /work/next
mv /work/product /work/product.${digest:0:12}; mv /work/next /work/product
# Another content makes it another product.
chmod u+w /work/product /work/product/SHA256SUMS /work/product/README.txt; echo >>/work/product/README.txt
sum=$(sha256sum </work/product/README.txt)
sed -i \"s/.*  README.txt\\$/${sum%% *}  README.txt/\" /work/product/SHA256SUMS
echo >/work/go; wait $other
use='. ~/it/envs.sh; echo $PRODUCT_RES_DIR; cat $PRODUCT_RES_DIR/model; cd ~/it/demo; pixi run where'
as 4001 \"$use\"
rm -rf /work/product.*; rm -rf /work/product
as 4001 '. ~/it/envs.sh; cd ~/it/demo; pixi run where'
";
    for image in images() {
        eprintln!("pixi {}", image.version);
        let real = product(&image.reference);
        let run = where_it_is_read_only(&image.reference, &real.path("W/product"), script);
        run.success()
            .prints("/work/4001/it/demo/.pixi/envs/default/lib/python3.11/colorsys.py\n")
            .prints("/work/product.")
            .prints("weights")
            .says("WARNING: there is another version of the product")
            .says("WARNING: the product that this was installed from is not there");
        let ran = "script: /work/4001/it/demo/.pixi/envs/default\n";
        assert_eq!(run.stdout.matches(ran).count(), 2, "{run}");
    }
}
