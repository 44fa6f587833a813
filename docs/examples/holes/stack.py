class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)

    def pop(self):
        <hole>

    def is_empty(self) -> bool:
        return not self.items
