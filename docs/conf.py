"""How the pages are built: ``make docs``. Settings are those of https://www.sphinx-doc.org/en/master/usage/configuration.html."""

import os
import sys
from pathlib import Path

from sphinx_gallery.sorting import ExplicitOrder

import parametric_umap

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))  # whose reference recipe an example runs
os.environ.setdefault("TQDM_DISABLE", "1")

project = "torch-parametric-umap"
author = "the torch-parametric-umap developers"
project_copyright = author
version = release = parametric_umap.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "myst_parser",  # for the tables that the benchmarks write, in Markdown
]
exclude_patterns = ["_build", "auto_examples/*.ipynb", "examples"]
templates_path = ["_templates"]
default_role = "literal"
smartquotes = False  # those of strings in docstrings are straight
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(sklearn|torch|numpy|scipy)\..*")]  # documented elsewhere

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say more
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_validation_checks = set()

# The files that examples write go where nobody keeps them.
doctest_global_setup = """
import os, tempfile
_started_in, _folder_of_examples = os.getcwd(), tempfile.TemporaryDirectory()
os.chdir(_folder_of_examples.name)
"""
doctest_global_cleanup = "os.chdir(_started_in); _folder_of_examples.cleanup()"

# By topic: a map, what shapes it, new rows, encoders, targets and the way back, other maps, against others.
EXAMPLES = """
plot_digits plot_phases plot_displays
plot_n_neighbors_and_min_dist plot_map_parameters plot_network_parameters plot_random_states
plot_novelty plot_attributions plot_adding_rows plot_landmarks
plot_convolutional convolutional_mnist
plot_labels plot_inverse
plot_density_and_global_structure plot_sphere
plot_beside_umap_learn plot_reference_recipe
"""

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": ExplicitOrder([f"{name}.py" for name in EXAMPLES.split()]),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1e9,  # what a fit takes is told by the benchmarks
    "write_computation_times": False,
    "image_srcset": ["2x"],
    "remove_config_comments": True,
    "default_thumb_file": str(ROOT / "docs" / "demo.png"),
    "doc_module": ("parametric_umap",),
    "backreferences_dir": None,
}

html_theme = "pydata_sphinx_theme"
html_title = "Parametric UMAP"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_copy_source = False
html_context = {"default_mode": "light"}
OF_NO_SECTION = ("index", "quick_start", "benchmarks", "limits", "how_it_works", "changelog")
html_sidebars = {page: [] for page in OF_NO_SECTION}
html_theme_options = {
    "logo": {"text": "Parametric UMAP"},
    "header_links_before_dropdown": 6,
    "navbar_persistent": ["search-button"],
    "navbar_end": ["theme-switcher"],
    "show_nav_level": 2,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": ["version"],
    "secondary_sidebar_items": {"**": ["page-toc"]} | {f"auto_examples/{name}": [] for name in EXAMPLES.split()},
    "pygments_light_style": "tango",
}
