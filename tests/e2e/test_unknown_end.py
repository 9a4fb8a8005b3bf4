"""An answer that ends for a reason nobody knows: clients keep it, as cut short, and the log has the vendor's word."""

from pathlib import Path

from tests.e2e.process_kit import RUNS, project

TEXT = "Your parcel is on its way."


async def test_the_answer_is_kept_and_the_word_is_logged(tmp_path: Path) -> None:
    """Relayed and of an agent's run: the text, an end that claims nothing, and a line with the request's id."""
    async with project(tmp_path) as served:
        served.script("sim-talk", text=TEXT, finish_reason="sunspots")
        await served.serve()
        relayed = {"model": "sim/sim-talk", "messages": [{"role": "user", "content": "Where is it?"}]}
        async with served.client() as http:
            async with http.post("/v1/chat/completions", json=relayed) as response:
                (choice,) = (await response.json())["choices"]
            async with http.post(RUNS, json={"input": "Where is it?"}) as response:
                run = await response.json()
        assert (choice["message"]["content"], choice["finish_reason"]) == (TEXT, "length")
        assert (run["text"], run["outcome"]) == (TEXT, "partial")
        lines = [line for line in served.log() if line["event"] == "model.finish_unrecognised"]
        assert [(line["target"], line["finish_reason"], line["level"]) for line in lines] == [
            ("sim/sim-talk", "sunspots", "warning")
        ] * 2
        assert [line["request_id"] for line in lines] == ["req_1", "req_2"]
