"""stub"""
class CosmosTokenizer: pass
