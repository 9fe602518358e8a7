"""The settings; one object for all."""


class Settings:
    def __init__(self):
        self.stream = True
        self.model = "small"
        self.stops = ["END"]


settings = Settings()
