//! What of a user's own would come before the packages of an environment.

use itertools::Itertools as _;

/// Variables that lead a language or a toolkit to packages, plugins or start-up files
/// of the user's own, in groups, divided by spaces. `envs.sh` and the entry point of an
/// image unset them.
const USER_VARIABLES: &[&str] = &[
    // Python, Jupyter, IPython
    "PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONUSERBASE PYTHONEXECUTABLE PYTHONPLATLIBDIR \
     VIRTUAL_ENV JUPYTER_PATH JUPYTER_CONFIG_PATH JUPYTER_DATA_DIR IPYTHONDIR",
    // R
    "R_HOME R_LIBS R_LIBS_SITE R_LIBS_USER R_PROFILE R_PROFILE_USER R_ENVIRON R_ENVIRON_USER",
    // Perl
    "PERL5LIB PERLLIB PERL5OPT PERL5DB PERL_LOCAL_LIB_ROOT PERL_MB_OPT PERL_MM_OPT",
    // Ruby
    "GEM_HOME GEM_PATH RUBYLIB RUBYOPT BUNDLE_PATH BUNDLE_GEMFILE",
    // Julia
    "JULIA_DEPOT_PATH JULIA_LOAD_PATH JULIA_PROJECT",
    // Node, Deno
    "NODE_PATH NODE_OPTIONS NODE_REPL_EXTERNAL_MODULE npm_config_prefix NPM_CONFIG_PREFIX",
    // Lua
    "LUA_PATH LUA_CPATH LUA_INIT LUA_PATH_5_1 LUA_PATH_5_2 LUA_PATH_5_3 LUA_PATH_5_4 \
     LUA_CPATH_5_1 LUA_CPATH_5_2 LUA_CPATH_5_3 LUA_CPATH_5_4 LUA_INIT_5_2 LUA_INIT_5_3 \
     LUA_INIT_5_4",
    // Java, .NET
    "CLASSPATH _JAVA_OPTIONS JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS DOTNET_STARTUP_HOOKS",
    // PHP, Tcl, Octave, Guile, OCaml, Haskell, Erlang
    "PHPRC PHP_INI_SCAN_DIR TCLLIBPATH TCL_LIBRARY TK_LIBRARY OCTAVE_PATH GUILE_LOAD_PATH \
     GUILE_LOAD_COMPILED_PATH OCAMLPATH CAML_LD_LIBRARY_PATH GHC_PACKAGE_PATH GHC_ENVIRONMENT \
     ERL_LIBS",
    // GTK, Qt, GStreamer
    "GI_TYPELIB_PATH GTK_PATH GTK_MODULES GTK3_MODULES GTK_EXE_PREFIX GTK_DATA_PREFIX \
     GDK_PIXBUF_MODULE_FILE GDK_PIXBUF_MODULEDIR GIO_MODULE_DIR GIO_EXTRA_MODULES \
     GSETTINGS_SCHEMA_DIR GST_PLUGIN_PATH GST_PLUGIN_PATH_1_0 GST_PLUGIN_SYSTEM_PATH \
     GST_PLUGIN_SYSTEM_PATH_1_0 QT_PLUGIN_PATH QT_QPA_PLATFORM_PLUGIN_PATH QML_IMPORT_PATH \
     QML2_IMPORT_PATH",
    // Data and plugins of libraries
    "PROJ_LIB PROJ_DATA GDAL_DATA GDAL_DRIVER_PATH HDF5_PLUGIN_PATH MAGICK_HOME \
     MAGICK_CONFIGURE_PATH",
    // What compilers and build tools find first; robots
    "CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH LIBRARY_PATH PKG_CONFIG_PATH CMAKE_PREFIX_PATH \
     AMENT_PREFIX_PATH ROS_PACKAGE_PATH",
    // The dynamic linker: of the path, the directories of NVIDIA's driver stay.
    "LD_LIBRARY_PATH LD_PRELOAD LD_AUDIT",
];

/// Variables that turn off what is found without any: directories in the user's home.
/// R reads the two files in the working directory, which may be the project's, and
/// none where one of these is set and leads to nothing. `@` and `@stdlib` are Julia's
/// active project and its own library.
pub(super) const SETTINGS: &[(&str, &str)] = &[
    ("PYTHONNOUSERSITE", "1"),
    ("JUPYTER_PREFER_ENV_PATH", "1"),
    ("R_LIBS_USER", "/dev/null"),
    ("R_PROFILE_USER", ".Rprofile"),
    ("R_ENVIRON_USER", ".Renviron"),
    ("JULIA_LOAD_PATH", "@:@stdlib"),
];

/// Each of [`USER_VARIABLES`].
pub(super) fn user_variables() -> Vec<&'static str> {
    let groups = USER_VARIABLES.iter();
    groups.flat_map(|names| names.split(' ')).collect()
}

/// A POSIX shell's lines that keep all this away from an environment. They read
/// `$_pixi_offline_root`, a directory with environments in `envs/` or
/// `*/.pixi/envs/`, and leave no variable of their own.
pub(super) fn script() -> String {
    let mut settings = String::new();
    for (name, value) in SETTINGS {
        settings.push_str(&format!(
            "  case \" $_pixi_offline_keep \" in *\" {name} \"*) ;; *) export {name}='{value}' ;; esac\n"
        ));
    }
    let unset: Vec<&str> = user_variables()
        .into_iter()
        .filter(|name| *name != "LD_LIBRARY_PATH")
        .collect();
    SCRIPT
        .replace(
            "VARIABLES",
            &unset
                .chunks(6)
                .map(|names| names.join(" "))
                .join(" \\\n    "),
        )
        .replace("SETTINGS\n", &settings)
}

const SCRIPT: &str = include_str!("user-packages.sh");
