//! The kinds of packages that pixi builds from source. Their recipes need no package of a channel.

use std::fs;
use std::path::Path;

use crate::kinds::draft::Draft;
use crate::kinds::parts::Parts;

/// A package that its recipe builds: the program `name`, which says `said`.
struct Recipe<'a> {
    name: &'a str,
    said: &'a str,
    /// Packages beside it that it needs, by path.
    needs: &'a [(&'a str, &'a str)],
    /// More lines of the recipe.
    more: &'a str,
}

impl Recipe<'_> {
    fn new<'a>(name: &'a str, said: &'a str) -> Recipe<'a> {
        Recipe {
            name,
            said,
            needs: &[],
            more: "",
        }
    }

    /// The tables of the manifest.
    fn manifest(&self) -> String {
        let mut text = format!(
            "\n[package]\nname = \"{}\"\nversion = \"1.0.0\"\n\n[package.build.backend]\nname = \"pixi-build-rattler-build\"\nversion = \"*\"\n",
            self.name
        );
        if !self.needs.is_empty() {
            text.push_str("\n[package.run-dependencies]\n");
        }
        for (name, path) in self.needs {
            text.push_str(&format!("{name} = {{ path = \"{path}\" }}\n"));
        }
        text
    }

    fn recipe(&self) -> String {
        let mut text = format!(
            "package:\n  name: {0}\n  version: 1.0.0\nsource:\n  path: .\nbuild:\n  number: 0\n  script:\n    - mkdir -p $PREFIX/bin\n    - cp {0}.sh $PREFIX/bin/{0}\n    - chmod 755 $PREFIX/bin/{0}\nabout:\n  license: MIT\n",
            self.name
        );
        if !self.needs.is_empty() {
            text.push_str("requirements:\n  run:\n");
        }
        for (name, _) in self.needs {
            text.push_str(&format!("    - {name}\n"));
        }
        text.push_str(self.more);
        text
    }

    /// Writes recipe and program, but no manifest.
    fn write_recipe(&self, dir: &Path) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("recipe.yaml"), self.recipe()).unwrap();
        let program = format!("#!/bin/sh\necho {}\n", self.said);
        fs::write(dir.join(format!("{}.sh", self.name)), program).unwrap();
    }

    fn write(&self, dir: &Path) {
        self.write_recipe(dir);
        fs::write(dir.join("pixi.toml"), self.manifest()).unwrap();
    }
}

/// Fails unless these programs say these words.
fn proof(programs: &[(&str, &str)]) -> String {
    let run = |(program, said): &(&str, &str)| {
        format!(
            "said = subprocess.run([\"{program}\"], check=True, capture_output=True)\n\
             assert said.stdout == b\"{said}\\n\", said\n"
        )
    };
    programs.iter().map(run).collect()
}

fn of(lines: &[&str], more: &str, programs: &[(&str, &str)]) -> Draft {
    Draft {
        sources: lines.iter().map(|line| (*line).to_owned()).collect(),
        more: more.to_owned(),
        proof: proof(programs),
        ..Draft::default()
    }
}

/// `root` needs `lib`, which is beside it.
pub fn chain(_: &Parts, dir: &Path) -> Draft {
    chain_at(&dir.join("src"), "src")
}

/// The same in a directory beside that of the projects, below a workspace: pixi reads a package's
/// manifest only where it is in a workspace, which need not be the one that is installed.
pub fn chain_beside(parts: &Parts, dir: &Path) -> Draft {
    let around = dir.ancestors().nth(2).unwrap();
    let workspace = format!(
        "[workspace]\nchannels = [{:?}]\nplatforms = [{:?}]\npreview = [\"pixi-build\"]\n",
        parts.channel.url, parts.channel.subdir
    );
    fs::write(around.join("pixi.toml"), workspace).unwrap();
    fs::write(around.join("unneeded"), "x").unwrap();
    Draft {
        in_root: true,
        ..chain_at(&around.join("libs"), "../../libs")
    }
}

/// The same by an absolute path.
pub fn chain_absolute(parts: &Parts, dir: &Path) -> Draft {
    let draft = chain_beside(parts, dir);
    let root = dir.ancestors().nth(2).unwrap().display().to_string();
    let lines = draft.sources.iter();
    Draft {
        sources: lines.map(|line| line.replace("../..", &root)).collect(),
        is_absolute: true,
        ..draft
    }
}

/// A package beside the project that is named by its recipe.
pub fn recipe_beside(_: &Parts, dir: &Path) -> Draft {
    let around = dir.ancestors().nth(2).unwrap();
    Recipe::new("lib", "lib").write_recipe(&around.join("libs/lib"));
    Draft {
        in_root: true,
        ..of(
            &["lib = { path = \"../../libs/lib/recipe.yaml\" }"],
            "",
            &[("lib", "lib")],
        )
    }
}

/// `place` is the directory `dir` as the manifest names it.
fn chain_at(dir: &Path, place: &str) -> Draft {
    Recipe::new("lib", "lib").write(&dir.join("lib"));
    let root = Recipe {
        needs: &[("lib", "../lib")],
        ..Recipe::new("root", "root")
    };
    root.write(&dir.join("root"));
    let line = format!("root = {{ path = \"{place}/root\" }}");
    of(&[&line], "", &[("root", "root"), ("lib", "lib")])
}

/// The project is the package.
pub fn itself(_: &Parts, dir: &Path) -> Draft {
    let whole = Recipe::new("whole", "whole");
    whole.write_recipe(dir);
    of(
        &["whole = { path = \".\" }"],
        &whole.manifest(),
        &[("whole", "whole")],
    )
}

/// The package comes from a git repository.
pub fn git(parts: &Parts, _: &Path) -> Draft {
    let (url, revision) = (parts.index.repository(), parts.index.revision());
    let line =
        format!("from-git = {{ git = {url:?}, rev = {revision:?}, subdirectory = \"conda\" }}");
    of(&[&line], "", &[("from-git", "from-git")])
}

/// The sources of the package come from an archive.
pub fn url(parts: &Parts, dir: &Path) -> Draft {
    let url = parts.index.direct_sdist();
    let package = Recipe::new("from-url", "from-url");
    package.write(&dir.join("src/from-url"));
    let manifest = dir.join("src/from-url/pixi.toml");
    let text = format!(
        "{}\n[package.build.source]\nurl = {url:?}\n",
        package.manifest()
    );
    fs::write(manifest, text).unwrap();
    of(
        &["from-url = { path = \"src/from-url\" }"],
        "",
        &[("from-url", "from-url")],
    )
}

/// One recipe makes two packages.
pub fn outputs(_: &Parts, dir: &Path) -> Draft {
    let place = dir.join("src/two");
    Recipe::new("one", "one").write(&place);
    let output = |name: &str| {
        format!(
            "  - package:\n      name: {name}\n      version: 1.0.0\n    source:\n      path: .\n    build:\n      number: 0\n      script:\n        - mkdir -p $PREFIX/bin\n        - cp one.sh $PREFIX/bin/{name}\n        - chmod 755 $PREFIX/bin/{name}\n"
        )
    };
    let recipe = format!(
        "recipe:\n  name: two\n  version: 1.0.0\noutputs:\n{}{}",
        output("one"),
        output("other")
    );
    fs::write(place.join("recipe.yaml"), recipe).unwrap();
    of(
        &[
            "one = { path = \"src/two\" }",
            "other = { path = \"src/two\" }",
        ],
        "",
        &[("one", "one"), ("other", "one")],
    )
}

/// The workspace chooses what is built.
pub fn variants(_: &Parts, dir: &Path) -> Draft {
    let place = dir.join("src/kind");
    let package = Recipe::new("kind", "kind");
    package.write(&place);
    let recipe = package.recipe().replace(
        "    - cp kind.sh $PREFIX/bin/kind\n",
        "    - printf '#!/bin/sh\\necho ${{ flavour }}\\n' > $PREFIX/bin/kind\n",
    );
    fs::write(place.join("recipe.yaml"), recipe).unwrap();
    of(
        &["kind = { path = \"src/kind\" }"],
        "\n[workspace.build-variants]\nflavour = [\"bitter\"]\n",
        &[("kind", "bitter")],
    )
}

/// Two environments have two variants of one package.
pub fn variants_of_environments(_: &Parts, dir: &Path) -> Draft {
    let place = dir.join("src/kind");
    let package = Recipe {
        more: "requirements:\n  run:\n    - flavour ${{ flavour }}.*\n",
        ..Recipe::new("kind", "kind")
    };
    package.write(&place);
    let recipe = package.recipe().replace(
        "    - cp kind.sh $PREFIX/bin/kind\n",
        "    - printf '#!/bin/sh\\necho kind ${{ flavour }}\\n' > $PREFIX/bin/kind\n",
    );
    fs::write(place.join("recipe.yaml"), recipe).unwrap();
    let feature = |name: &str, version: &str| {
        format!("\n[feature.{name}.dependencies]\nflavour = \"{version}.*\"\n")
    };
    let more = format!(
        "\n[workspace.build-variants]\nflavour = [\"1.0\", \"2.0\"]\n{}{}\n[environments]\nold = [\"old\"]\nnew = [\"new\"]\n",
        feature("old", "1.0"),
        feature("new", "2.0")
    );
    let programs = [
        (".pixi/envs/old/bin/kind", "kind 1.0"),
        (".pixi/envs/old/bin/flavour", "flavour 1.0"),
        (".pixi/envs/new/bin/kind", "kind 2.0"),
        (".pixi/envs/new/bin/flavour", "flavour 2.0"),
    ];
    let mut draft = of(&["kind = { path = \"src/kind\" }"], &more, &programs);
    draft.create = vec!["--all-environments"];
    draft
}

/// Two environments have the same package.
pub fn environments(_: &Parts, dir: &Path) -> Draft {
    Recipe::new("shared", "shared").write(&dir.join("src/shared"));
    let mut draft = of(
        &["shared = { path = \"src/shared\" }"],
        "\n[feature.more.dependencies]\nmany-files = \"*\"\n\n[environments]\nmore = [\"more\"]\n",
        &[("shared", "shared")],
    );
    draft.create = vec!["--all-environments"];
    draft.proof += "assert os.path.exists(\".pixi/envs/more/bin/shared\")\n";
    draft
}

/// What a package needs is installed, and not the package.
pub fn dev(_: &Parts, dir: &Path) -> Draft {
    let package = Recipe {
        more: "requirements:\n  run:\n    - prefix-tool\n",
        ..Recipe::new("developed", "developed")
    };
    package.write(&dir.join("src/developed"));
    Draft {
        more: "\n[dev]\ndeveloped = { path = \"src/developed\" }\n".to_owned(),
        proof: "import shutil\nassert shutil.which(\"developed\") is None\n\
                subprocess.run([\"prefix-tool\"], check=True)\n"
            .to_owned(),
        ..Draft::default()
    }
}
