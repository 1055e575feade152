"""Every size, time-out and port in one place: value, unit, reason.

Paragraph numbers are those of the wire contract, ``docs/wire-contract.md``.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

# Ports (wire contract §2.1).
SERVERAPPIO_PORT: Final = 9091
FLEET_PORT: Final = 9092
CONTROL_PORT: Final = 9093
CLIENTAPPIO_PORT: Final = 9094
LOCAL_CONTROL_PORT: Final = 39093

# Transport (§2.2).
MAX_RPC_BYTES: Final = 2_147_483_647  # contract
FRAME_BYTES: Final = 4_194_304  # of HTTP/2, that peers may send us; gRPC's 16 KiB cost CPU
WINDOW_BYTES: Final = 4_194_304  # under way to us on a connection: 40 MB/s at 100 ms
MAX_CONCURRENT_STREAMS: Final = 1000
SERVER_KEEPALIVE: Final = timedelta(seconds=210)  # contract; below common proxies' 240 s idle limit
CLIENT_KEEPALIVE: Final = timedelta(seconds=300)  # shorter is a ping flood to upstream's servers
SERVER_GRACE: Final = timedelta(seconds=1)  # open RPCs get this long when a server stops
TLS_DIAGNOSIS: Final = timedelta(seconds=4)  # one handshake made only to explain a failure

# Waiting (§19 no. 5).
LONG_POLL: Final = timedelta(seconds=20)  # longest hold of a poll; harmless to upstream's clients
POLL_FALLBACK: Final = timedelta(
    seconds=1
)  # pause between polls when the server does not hold them
RETRY_FIRST: Final = timedelta(milliseconds=200)
RETRY_CAP: Final = timedelta(seconds=20)  # §6; every delay is multiplied by a uniform 0.5..1
RPC_DEADLINE: Final = timedelta(seconds=60)  # own unary calls that are not held
CONTACT_LOST: Final = timedelta(
    minutes=10
)  # an app that cannot reach its daemon this long gives up

# Waiting inside a ServerApp (pauses grow from the first to the cap).
APP_POLL_FIRST: Final = timedelta(milliseconds=50)
APP_POLL_CAP: Final = timedelta(seconds=1)  # upstream's fixed pause
WAIT_NOTICE: Final = timedelta(seconds=10)  # between two log lines of one wait

# Nodes (§10).
NODE_HEARTBEAT: Final = timedelta(seconds=30)
NODE_HEARTBEAT_MIN: Final = timedelta(seconds=10)
NODE_HEARTBEAT_MAX: Final = timedelta(seconds=1800)
NODE_PATIENCE: Final = 2  # intervals without a heartbeat until a node is offline
NODE_HEARTBEAT_DEADLINE: Final = timedelta(seconds=5)
PULL_AGAIN_BEFORE: Final = timedelta(seconds=5)  # a pull that is a heartbeat is held that much less
# than the interval it announces, so that the next one comes in time (docs/adr/0014)

# Lines of nodes (docs/adr/0021).
LINE_WINDOW: Final = 8  # instructions on their way to a node that has not taken them in hand
LINE_REPLIES: Final = 32  # small ones on their way to a SuperLink that has not answered them
LINE_FRAME_BYTES: Final = 8_388_608  # of a node; ENCLOSED_CALL_BYTES, and the trees of replies
LINES_BYTES: Final = 67_108_864  # of instructions in frames on their way to all nodes; others pull
LINE_OPENING: Final = timedelta(seconds=10)  # until the SuperLink answers
LINE_ANSWER: Final = timedelta(seconds=20)  # to a node that asks; a busy SuperLink is not gone
LINE_LIFE: Final = timedelta(hours=1)  # then the node proves anew who it is
ONLINE_NODES: Final = 256  # told with replies; a ServerApp with more asks for them
ONLINE_FOR: Final = timedelta(milliseconds=250)  # nodes told with replies are taken for online
LINE_COMPANY: Final = timedelta(milliseconds=400)  # an answer nobody waits for shares a frame
LINE_OWED: Final = 4  # answers; more are not kept waiting: a node sends 8 replies at once
LINE_CONFIRMS: Final = timedelta(seconds=1)  # what a node has is said if it is not answered so soon
LINE_STEADY: Final = timedelta(minutes=1)  # a line that breaks sooner is not opened again at once
LINE_PAUSE: Final = timedelta(milliseconds=500)  # then, doubled each time, up to LINE_STEADY

# Leases of app processes (§12.2).  The first is longer than upstream's 30 s, for the sake of
# slow machines (§19 no. 17).
LEASE_BEFORE_HEARTBEAT: Final = timedelta(seconds=60)
LEASE_AFTER_HEARTBEAT: Final = timedelta(seconds=60)
NODE_REAPS_EVERY: Final = timedelta(seconds=50)  # at least; sooner than a new lease can lapse
APP_HEARTBEAT: Final = timedelta(seconds=3)  # our own runners
APP_FIRST_HEARTBEAT: Final = timedelta(
    milliseconds=500
)  # a ClientApp of our executor that has answered by then needs none
APP_PATIENCE: Final = timedelta(seconds=15)  # lease of a runner that announces APP_HEARTBEAT
TOKEN_BYTES: Final = 128  # random bytes, 256 hex digits on the wire
MAX_LAUNCH_ATTEMPTS: Final = 3  # an instruction whose app process vanishes this often is answered
STOP_GRACE: Final = timedelta(seconds=10)  # SIGTERM to SIGKILL of an app process
DRAIN: Final = timedelta(seconds=20)  # SIGTERM of an executor to SIGTERM of its app processes

# Templates of apps, one process each (docs/adr/0012).
MAX_TEMPLATES: Final = 4  # of one executor that may be forked; the least recently used one goes
TEMPLATE_IDLE: Final = timedelta(minutes=2)  # without a message; importing again costs about 1 s
TEMPLATE_MAX_BYTES: Final = 2_147_483_648  # resident when its app is imported, kept while idle
STAND_BY_PAUSE: Final = timedelta(seconds=30)  # from a launch to the next runner that stands by;
STAND_BY_CALM: Final = timedelta(seconds=1)  # or from the end of its app

# Node signatures (§5.2) and SuperExec signatures (§5.4).
SIGNATURE_PAST: Final = timedelta(seconds=305)
SIGNATURE_FUTURE: Final = timedelta(seconds=5)

# Messages (§7).
DEFAULT_TTL_S: Final = 43_200.0
TTL_TOLERANCE_S: Final = 0.1
OLDEST_CREATED_AT: Final = datetime(2025, 2, 28, tzinfo=UTC).timestamp()  # 1740700800

# Objects (§8).
ARRAY_CHUNK_BYTES: Final = 5_242_880
INLINE_OBJECT_BYTES: Final = 65_536  # larger payloads are files beside the database
SMALL_MESSAGE_BYTES: Final = INLINE_OBJECT_BYTES  # brings its objects along to whoever reads them
ENCLOSED_MESSAGE_BYTES: Final = 2_097_152  # travels whole to who is known to read so much at once
ENCLOSED_CALL_BYTES: Final = 4_194_304  # all enclosed messages of one call
AT_ONCE_BYTES: Final = 131_072  # of content; more is not written by the thread of an event loop
MAX_OBJECT_BYTES: Final = 268_435_456  # one object in one RPC; upstream chunks arrays at 5 MiB
PIECE_BYTES: Final = 1_049_600  # of an object in one message of a stream: a chunk's fifth
PIECES_AHEAD: Final = 2  # that wait while another is written
HATCH_PIECE_BYTES: Final = 5_505_024  # of an object sent by an app of this machine: all of a chunk
LENT_PIECE_BYTES: Final = 2_752_512  # of what it deposits: half as much, as two are in memory
STORED_AT_ONCE_BYTES: Final = 16_777_216  # of a stream, in files already, in one transaction
DEPOSIT_BYTES: Final = 16_777_216  # an app's arrays of as many are copied into its daemon
MAX_DEPOSIT_BYTES: Final = 34_359_738_368  # of one app, before it says what they are part of
HATCH_STALL: Final = timedelta(seconds=5)  # in the middle of a frame
HATCH_PATIENCE: Final = timedelta(seconds=60)  # for the other end; more than LONG_POLL
MAX_HATCH_GUESTS: Final = 64  # at a time; others send and get pieces through their runner
MAX_HATCH_TICKETS: Final = 256  # given out and not used yet
TUBE_STALL: Final = timedelta(seconds=10)  # in the middle of a frame, either way
TUBE_PATIENCE: Final = timedelta(seconds=10)  # until a tube is open
MAX_TUBES: Final = 64  # of one SuperNode at a time; other executors call
MAX_TUBE_CALLS: Final = 1024  # open on one tube
MAX_TREE_OBJECTS: Final = 1_000_000  # objects in one message
MAX_TREE_DEPTH: Final = 8  # Message > RecordDict > ArrayRecord > Array > ArrayChunk is 5
TRANSFERS_IN_PARALLEL: Final = 4
MAX_MISMATCHES: Final = 3  # wrong bytes for one object until its receiver gives it up
OBJECT_WAIT: Final = timedelta(hours=2)  # §22; an announced object that never comes
OBJECT_POLL_FIRST: Final = timedelta(milliseconds=50)
OBJECT_POLL_CAP: Final = timedelta(seconds=2)

# Bundles (§13).
MAX_FAB_BYTES: Final = 10_485_760
KEPT_BUNDLES_BYTES: Final = 2 * MAX_FAB_BYTES  # by an executor, so that they are sent once
MAX_FAB_EXPANDED_BYTES: Final = 104_857_600  # all files together
MAX_FAB_FILES: Final = 10_000
MAX_FAB_DEPTH: Final = 10
MAX_PYPROJECT_BYTES: Final = 1_048_576

# Apps from git.
GIT_TIMEOUT: Final = timedelta(minutes=3)  # for everything that is asked of one repository
MAX_GIT_BYTES: Final = 268_435_456  # on our disk: as transferred, and as files
MAX_GIT_FILES: Final = 50_000

# Logs.
LOG_FLUSH: Final = timedelta(milliseconds=100)
MAX_LOG_CHUNK_BYTES: Final = 262_144
MAX_RUN_LOG_BYTES: Final = 67_108_864  # per run; what comes later is dropped with a note

# Control.
LIST_PAGE: Final = 1000
