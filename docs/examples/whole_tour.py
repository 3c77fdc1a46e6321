"""All of PatientDx by its public API: python whole_tour.py MATH_MODEL MEDICAL_MODEL ICU_FOLDER."""

import sys
from pathlib import Path

import patientdx as pdx

math_model, medical_model, icu_folder = sys.argv[1:]
sample = pdx.sample_folder()
index = pdx.build_index("tour-index", pdx.read_patients(sample), replace_existing=True)

note = "fever and a new murmur in a man who injects drugs"
plain = pdx.search_patients(index, note, 5)
expanded = pdx.search_patients(index, note, 5, system="rrf(bm25,phrases)")
print("search:", plain.hits[0].doc_id, "expanded:", expanded.hits[0].doc_id)

queries, qrels = list(pdx.read_queries(sample)), pdx.read_qrels(sample / "qrels" / "test.tsv")
_, run, _ = pdx.evaluate_searcher(index, queries, qrels, ["nDCG@10"])
print("evaluate:", pdx.evaluate_runs({"bm25": run}, qrels, ["nDCG@10", "RR"]))

merge = pdx.merge(pdx.TwoModelMerge(math_model, medical_model, 0.4), "tour-merge")
print("merge:", merge.folder, pdx.verify_merge("tour-merge").different or "every byte as merged")

pdx.build_cohort("physionet2012", icu_folder, "tour-cohort.parquet")
cohort = pdx.read_cohort(Path("tour-cohort.parquet"))
evaluation = pdx.evaluate_mortality(cohort, {"merged": "tour-merge"}, resamples=50)
print("mortality:", evaluation.render("json")[:1], len(cohort), "stays", cohort.deaths, "deaths")

models = pdx.ModelSet.from_models([math_model, medical_model])
search = pdx.LambdaSearch(step=0.5, resamples=50)
tuning = pdx.tune_merge(models, pdx.StaySource.read("tour-cohort.parquet"), search)
print("λ:", tuning.choice.candidate)
