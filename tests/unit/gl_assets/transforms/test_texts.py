from datetime import timedelta

import pyarrow as pa

from gl_assets.transforms.texts import named_texts
from resources.window_buffer.contents import BUFFERED_TEXTS_SCHEMA
from tests.unit.gl_assets.transforms.window_contents import START, sensors


def test_named_texts_when_keys_are_the_buffers_then_names_stand_beside_the_texts():
    later = START + timedelta(seconds=1)
    texts = pa.Table.from_pylist(
        [
            {"time": START, "sensor_key": 3, "value": "on", "status": 0, "received_at": later, "sequence": 5},
            {"time": START, "sensor_key": 7, "value": None, "status": 2, "received_at": later, "sequence": 6},
        ],
        schema=BUFFERED_TEXTS_SCHEMA,
    )

    assert named_texts(texts, sensors()).to_pylist() == [
        {"time": START, "sensor_id": "p", "value": "on", "status": "good", "source": "plc", "received_at": later}
        | {"sequence": 5},
        {"time": START, "sensor_id": "t", "value": None, "status": "bad", "source": "opc", "received_at": later}
        | {"sequence": 6},
    ]


def test_named_texts_when_there_are_none_then_the_columns_are():
    assert named_texts(BUFFERED_TEXTS_SCHEMA.empty_table(), sensors()).num_rows == 0
