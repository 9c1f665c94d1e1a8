"""A topic with two partitions and a consumer group of two, on a broker that nobody else uses; ends with the process of that id."""

import os
import sys
import threading
import time

from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError

address, topic, group, broker = sys.argv[1:]


def is_there():
    try:
        os.kill(int(broker), 0)
    except OSError:
        return False
    return True


def consume(name, assigned):
    consumer = KafkaConsumer(topic, bootstrap_servers=address, group_id=group, client_id=name, auto_commit_interval_ms=500)
    while not consumer.assignment():
        consumer.poll(timeout_ms=200)
    assigned.wait()
    while True:
        consumer.poll(timeout_ms=500)


while True:
    try:
        admin = KafkaAdminClient(bootstrap_servers=address)
        admin.create_topics([NewTopic(topic, 2, 1)])
        break
    except KafkaError:
        if not is_there():
            sys.exit("the broker ended")
        time.sleep(0.2)
assigned = threading.Barrier(3)
for name in ("one", "two"):
    threading.Thread(target=consume, args=(name, assigned), daemon=True).start()
assigned.wait(60)
# The broker lists a group from its first committed offsets on.
while group not in (listed for listed, _ in admin.list_consumer_groups()):
    time.sleep(0.2)
print("ready", flush=True)
while is_there():
    time.sleep(0.5)
