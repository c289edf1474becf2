"""Where the gateway answers otherwise than a ComfyUI, and why. Every other test of the suite runs on it as it is."""

from __future__ import annotations

MODULES = frozenset(
    {"test_clients", "test_events", "test_files", "test_info", "test_jobs", "test_queue", "test_validation"}
)
"""What is held against the gateway. The others compare node by node what an instance tells of one run."""

CACHE = "which graph nodes came out of an instance's cache is not known in the mesh"
CONFLATED = "the mesh conflates progress, previews and what graph nodes say; short runs tell none"
FLEET = "a fleet runs several prompts at once, and in an order of its own"
NAMES = "names hold their content or task, so that they are the same at every gateway and unique in the fleet"
RECORDS = "history is the mesh's records: nobody's to delete"
REFUSED = "refused, or not there: see docs/gateway.md"

DIFFERENT = {
    "test_a_prompt_without_a_client_shows_progress_to_everybody_and_the_rest_to_nobody": CONFLATED,
    "test_a_newer_socket_goes_deaf_when_the_older_one_ends": "it does not: that is a defect of ComfyUI",
    "test_log_lines_go_to_those_who_subscribed": REFUSED,
    "test_a_repeated_prompt_tells_only_its_outputs_with_the_old_names": CACHE,
    "test_the_cache_does_not_care_for_the_ids_of_graph_nodes": CACHE,
    "test_changing_one_input_runs_only_what_depends_on_it": CACHE,
    "test_freeing_memory_forgets_results": CACHE,
    "test_a_sampling_step_tells_state_preview_progress": CONFLATED,
    "test_a_client_without_metadata_gets_plain_previews_after_progress": CONFLATED,
    "test_previews_carry_a_jpeg_and_say_what_they_belong_to": CONFLATED,
    "test_a_blocked_branch_tells_an_error_and_the_rest_goes_on": CONFLATED,
    "test_nodes_made_at_run_time_have_dotted_ids": CONFLATED,
    "test_text_frames_name_their_node": CONFLATED,
    "test_output_that_is_not_strict_json_goes_out_as_it_is": "only files and texts are outputs of the mesh",
    "test_an_animated_picture_says_that_it_is": "only files and texts are outputs of the mesh",
    "test_front_prompts_run_first_newest_first": FLEET,
    "test_prompts_run_one_after_another_in_order": FLEET,
    "test_a_blocking_node_is_interrupted_only_at_the_next_one": CONFLATED,
    "test_a_cancel_repeated_until_the_job_is_gone_always_stops_it": "the races that it looks for are an instance's own",
    "test_one_id_may_be_queued_twice_and_is_deleted_once": "one id is one prompt; another prompt is refused",
    "test_the_same_number_and_id_is_answered_500_and_queued_all_the_same": "as above: it is a defect of ComfyUI",
    "test_an_interrupted_prompt_is_an_error_whose_last_message_says_interrupted": "history does not know at which node",
    "test_jobs_exist_only_below_api": "/api/api/jobs, an accident of ComfyUI's, is not there",
    "test_an_upload_is_stored_under_its_name": NAMES,
    "test_the_same_content_keeps_the_name_and_other_content_gets_another": NAMES,
    "test_uploads_go_into_subfolders_and_other_folders": NAMES,
    "test_a_mask_over_nothing_answers_200_and_writes_nothing": "it is refused: nothing was written",
    "test_a_page_is_only_given_as_an_attachment": NAMES,
    "test_a_batch_is_numbered_and_the_next_one_counts_on": NAMES,
    "test_a_saved_picture_carries_its_graph": "the client's own workflow is not given to nodes",
    "test_leaving_the_output_folder_is_an_error_of_the_run": "agents give every task a folder; history has no such run",
    "test_a_new_upload_is_offered_at_once": "the catalog is the fleet's, and has no tenant's files",
    "test_model_files_are_listed_by_kind": "/experiment/models is not there",
    "test_an_entry_can_be_deleted": RECORDS,
}
"""Test, and why it does not run on the gateway."""
